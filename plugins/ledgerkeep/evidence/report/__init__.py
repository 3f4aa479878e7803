"""The compliance report: gathered from the store, built as a pure model, drawn, written.

`gather` reads (chain, records, catalog, what is found on stored objects); `build` turns that into
a `ComplianceReport` without touching anything; `render` draws it as one HTML file and as JSON;
`write` stores both. Every figure in the HTML is a field of the model, and so of the JSON.
"""
