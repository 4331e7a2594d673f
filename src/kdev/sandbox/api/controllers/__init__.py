"""The cluster's controllers: pure plans from what is to what should be, and one loop that carries them out."""
