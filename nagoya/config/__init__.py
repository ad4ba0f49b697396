"""What is declared: moromi.yml, read into frozen values."""
