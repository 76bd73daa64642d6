"""Elasticsearch 1.1 to 1.4 without a password, on TCP 9200: scripts in a search run programs, and ransom drops indices.

room      the requests, and the scripts in them
cluster   one installation's node and indices, and what an address has changed of them
told      how it all is told: statistics, tables, and JSON as Jackson prints it
"""

from eudaemon.protocols.elasticsearch.room import Elasticsearch as Elasticsearch
