"""What knows Koji: its client, profile, users, policies, builds and RPMs."""
