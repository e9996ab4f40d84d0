"""What benchmarks/reliability.py does to a small project: kills, full disks, flipped bytes, and the rest."""
