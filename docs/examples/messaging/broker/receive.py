#!/usr/bin/python3
"""Print the messages of the queue `koji`, a line each: `receive.py [SECONDS]`.

It ends when no message has come for that long.
"""

import json
import sys

from proton import Timeout
from proton.utils import BlockingConnection

connection = BlockingConnection("amqp://localhost")
receiver = connection.create_receiver("/amq/queue/koji")
seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
try:
    while True:
        message = receiver.receive(timeout=seconds)
        print(json.dumps(message.properties))
        receiver.accept()
except Timeout:
    connection.close()
