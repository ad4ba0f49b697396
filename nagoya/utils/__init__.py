"""What any program needs: commands, files, locks, graphs, threads, progress."""
