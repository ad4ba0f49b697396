"""What the scripts inside the images share. The host side (`nagoya/`) imports nothing of it."""
