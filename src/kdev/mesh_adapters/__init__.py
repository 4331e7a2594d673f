"""What each mesh does in a pod's network namespace, and where its decrypted hop can be tapped."""
