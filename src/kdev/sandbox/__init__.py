"""The embedded cluster: pods as kernel namespaces, real Envoy sidecars in STRICT mTLS, a Kubernetes API."""
