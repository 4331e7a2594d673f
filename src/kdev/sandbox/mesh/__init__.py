"""The mesh of the sandbox, in Istio's shape: injection, capture, certificates, and configuration for real Envoys."""
