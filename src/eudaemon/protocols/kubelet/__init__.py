"""A Kubernetes node's kubelet that lets everybody in, as worms look for it on port 10250 (TLS), and on 10255 to read.

`node` is who answers, `channels` is the stream of an execution, `room` is the connection and what can be asked.
"""

from eudaemon.protocols.kubelet.room import Kubelet

__all__ = ["Kubelet"]
