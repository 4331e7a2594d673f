"""Before the first frame, both ends prove who they are: who speaks when, and what is signed.

::

    laptop                                     agent
    kdev-tunnel/1 LF, Hello(session, key, nonce)  ->
                     <-  kdev-tunnel/1 LF, Challenge(key, nonce, signature)   or Refusal
    Proof(signature)  ->
                     <-  Welcome                                              or Refusal

The line comes first and never changes its shape, so that ends of different versions, and whoever else may answer on
a port, are told apart before anything is parsed. Then messages follow: JSON, preceded by its length in two bytes.

Both sign the same facts (versions, session, both public keys, both nonces) with Ed25519, each under its own role's
name: a signature of one session, of one connection, or of the other role proves nothing (no replay, no reflection).
Neither end needs a secret of the other; the laptop's public key is in the agent's environment, and the agent's is
returned to the laptop, which compares it with the pod's log where it may read that.
"""
