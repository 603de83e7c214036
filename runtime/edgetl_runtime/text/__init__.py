"""Text for people: safe to print, without secrets, with causes and plurals."""
