"""Ask a served GPT to go on from a prompt: `python examples/generate.py "The with statement"`.

The server: `python -m serving.server --model_name=gpt --model_base_path=exports/gpt`.
"""

import sys

from serving.client import Client, ServingError

prompt = sys.argv[1] if len(sys.argv) > 1 else "The with statement"

try:
    with Client("localhost:8500") as client:
        inputs = {"prompt": [prompt], "max_new_tokens": [50]}
        answer = client.predict("gpt", inputs, signature="generate")
except ServingError as error:
    sys.exit(f"{error}")

print(answer["text"][0])
