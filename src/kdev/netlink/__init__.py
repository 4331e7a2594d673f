"""The kernel's netlink families that kdev speaks: nf_tables, nfqueue, sock_diag, rtnetlink."""
