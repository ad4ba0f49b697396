"""A plugin for kojid: what XML cannot contain is replaced in what it sends to the hub.

The names of a build's files can have any byte, and there can be any number of them; they are in the
messages of tasks that fail. kojid could not send such a message, or the hub would not take it for
its length; the task would stay open, and begin again for ever. So long messages are shortened. The
plugin is always on, whatever KOJI_BUILDER_PLUGINS says.
"""

import logging
import sys

if hasattr(sys.modules["__main__"], "TaskManager"):
    # Last, so that nothing there hides a module of Koji's.
    sys.path.append("/usr/lib/nagoya")
    from util.xml_text import send_only_xml

    send_only_xml(sys.modules["koji.xmlrpcplus"], sys.modules["koji"])
    logging.getLogger("koji.send_only_xml").info("sending only what XML can contain")
