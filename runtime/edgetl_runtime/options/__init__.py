"""The options engine: one struct becomes checks, flags, a TOML file, keywords and their help.

A root struct holds options and, as fields that are structs themselves, tables of options. The
docstring's `Attributes:` give each option its meaning, the annotations give what it may be. A root
may say three things more, each by the option's path:

    FLAGS: the flag's name where it is not the field's: `{"source.address": "source"}`
    EXAMPLES: what a file of defaults shows where the default is None
    CHECKS: functions of the value that return what is wrong with it, or an empty text
"""
