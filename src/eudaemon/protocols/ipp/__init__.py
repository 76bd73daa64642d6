"""CUPS on TCP 631 and its cups-browsed on UDP 631, open to all: jobs are kept, and printers' commands run.

room      requests in HTTP, operations in IPP, and the datagrams that announce printers
message   IPP's messages, read and made (RFC 8010)
queue     one installation's queue and what is said of it (RFC 8011)
"""

from eudaemon.protocols.ipp.room import Ipp as Ipp
