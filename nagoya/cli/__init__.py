"""The two command lines, moromi and toji."""
