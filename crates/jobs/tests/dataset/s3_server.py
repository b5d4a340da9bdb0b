"""A server that speaks S3, with a bucket of two files. Prints its port, and ends when its input does."""

import sys

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")
client.create_bucket(Bucket="bucket")
client.put_object(Bucket="bucket", Key="in/x ü.png", Body=bytes(range(256)) * 4096)
client.put_object(Bucket="bucket", Key="in/jobs.jsonl", Body=b'{"id": "a", "prompt": "P"}\n{"id": "b", "prompt": "P"}\n')
print(port, flush=True)
sys.stdin.read()
server.stop()
