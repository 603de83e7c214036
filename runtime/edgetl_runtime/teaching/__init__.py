"""Teaching: frames for a lesson, the checks of it, and its way home to the workstation."""
