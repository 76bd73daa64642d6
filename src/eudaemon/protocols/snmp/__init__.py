"""SNMP, versions 1, 2c and 3, as the net-snmp of a device answers whoever says `public`, over UDP and TCP.

room       the dialogue: communities, what is asked and set, and how little is answered over UDP
messages   what a message is made of
mib        one installation's objects
written    what a SET may bring about: commands to run, a configuration to load
"""

from eudaemon.protocols.snmp.room import Snmp as Snmp
