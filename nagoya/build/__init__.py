"""How images are made: from Dockerfiles, and from the containers of a running system."""
