"""yamux, the stream multiplexer of HashiCorp's specification, without I/O.

Source of every fact here: ``spec.md`` of github.com/hashicorp/yamux, and where that is silent the behaviour of its
Go implementation, against which the integration tests hold this one.
"""
