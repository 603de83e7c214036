"""The page of a board without a screen: HTTP on a thread of its own, which inference never awaits.

Of these modules only `server`, `feed` and what they name at their top may be imported where the
`serve` extra is missing.
"""
