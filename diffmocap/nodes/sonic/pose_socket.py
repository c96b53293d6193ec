"""The ZMQ socket that SONIC subscribes to."""

from __future__ import annotations

from diffmocap.errors import SettingsError

#: Messages that wait for one subscriber at most; SONIC takes three itself.
_WAITING = 3


class PoseSocket:
    """Publishes on one address; who does not listen misses it, and nobody is waited for.

    Attributes:
        address: where it is bound.

    Raises:
        SettingsError: pyzmq is not installed, or the address cannot be bound.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            import zmq
        except ImportError as error:
            raise SettingsError(
                "sonic_node needs pyzmq: pip install 'diffmocap[sonic]', or pip install pyzmq"
            ) from error
        self._again = zmq.Again
        self._flag = zmq.NOBLOCK
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, _WAITING)
        self._socket.setsockopt(zmq.LINGER, 0)
        wanted = f"tcp://{host}:{port or '*'}"
        try:
            self._socket.bind(wanted)
        except zmq.ZMQError as error:
            self.close()
            raise SettingsError(
                f"cannot bind {wanted}: {error}; is another streamer running, or is host none of this computer's "
                "addresses? Set host and port"
            ) from error
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def send(self, message: bytes) -> bool:
        """Sends to all who listen; False: it could not be."""
        try:
            self._socket.send(message, self._flag)
        except self._again:
            return False
        return True

    def close(self) -> None:
        """Ends it; what waits is dropped."""
        self._socket.close(0)
        self._context.term()
