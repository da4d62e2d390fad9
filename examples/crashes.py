"""A script that fails in the middle, as scripts do: what does its job say?"""

import time

print("epoch 1 loss: 0.5;", flush=True)
time.sleep(0.2)
raise RuntimeError("the third photo ate the gradient")
