module kdev/tests/integration/tunnel/yamux_peer

go 1.24

require github.com/hashicorp/yamux v0.1.2
