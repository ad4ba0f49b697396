#!/usr/bin/python3
"""Print the messages of the queue `koji`, a line each: `receive.py [SECONDS]`.

It ends when no message has come for that long.
"""

import json
import sys

import pika

channel = pika.BlockingConnection(pika.ConnectionParameters("localhost")).channel()
seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
for method, properties, body in channel.consume("koji", inactivity_timeout=seconds):
    if method is None:
        break
    message = {
        "topic": method.routing_key,
        "schema": properties.headers["fedora_messaging_schema"],
        "body": json.loads(body),
    }
    print(json.dumps(message))
    channel.basic_ack(method.delivery_tag)
