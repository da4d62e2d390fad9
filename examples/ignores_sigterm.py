"""A script that will not stop when asked: its job is killed once the grace is over."""

import signal
import time

signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM, and I go on", flush=True))
for second in range(600):
    print(f"second {second}; loss: {1 / (second + 1):.4f};", flush=True)
    time.sleep(1)
