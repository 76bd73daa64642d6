"""An MQTT broker in somebody's home: 3.1, 3.1.1 and 5, open to whoever names no user.

`household` is what lies there retained, `packets` how bytes are packets, `room` the conversation.
"""

from eudaemon.protocols.mqtt.room import Mqtt

__all__ = ["Mqtt"]
