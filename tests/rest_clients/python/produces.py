"""Produce JSON with the PyPI package nlp-kafka-rest-api, and print a line for each call."""

import sys

import requests
from kafka_rest import Producer

url, token, topic = sys.argv[1:4]
headers = {"Authorization": f"Bearer {token}"} if token else {}
producer = Producer(kafka_rest_api_url=url, topic_id=topic, auth_headers=headers)
print("keys", *producer.produce(["one", {"word": "ラーメン"}, [1, None]], "/index", keys=["a", "b", "c"]))
print("keys", *producer.produce(["more"], "/index", keys=["d"]))
try:
    Producer(kafka_rest_api_url=url, topic_id=f"{topic}-missing", auth_headers=headers).produce(["x"], "/index")
except requests.HTTPError as error:
    print("error", error.response.status_code, error.response.json()["error_code"])
