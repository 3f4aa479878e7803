"""Documents: their versions, replica, rows and protection, and the way back to any of them."""
