"""What the host knows about Koji: its client, profile, users, policies, builds and RPMs."""
