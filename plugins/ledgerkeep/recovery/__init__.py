"""From a target to a copy that is shown to be identical: plan, restore, proof."""
