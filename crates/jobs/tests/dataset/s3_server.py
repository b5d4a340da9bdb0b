"""A server that speaks S3: s3_server.py FILES END

Its bucket holds the files of the folder FILES. It prints its port, and when its input ends it writes what the bucket holds then into END.
"""

import sys
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

files, end = map(Path, sys.argv[1:])
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")
client.create_bucket(Bucket="bucket")
for path in files.rglob("*"):
    if path.is_file():
        client.put_object(Bucket="bucket", Key=path.relative_to(files).as_posix(), Body=path.read_bytes())
print(port, flush=True)
sys.stdin.read()
for entry in client.list_objects_v2(Bucket="bucket").get("Contents", []):
    path = end / entry["Key"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(client.get_object(Bucket="bucket", Key=entry["Key"])["Body"].read())
server.stop()
