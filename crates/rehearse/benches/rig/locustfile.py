"""The flow of traffic.rs as Locust's users do it: one JSON-RPC call, its answer read and checked."""

import itertools
import json
import os
import time

from locust import FastHttpUser, HttpUser, constant_throughput, events, task

NUMBERS = itertools.count()
RATE = float(os.environ["RIG_RATE"])
BEGAN = None


def call(number):
    domain = [["sale_ok", "=", True], ["id", ">", number % 1000]]
    options = {"fields": ["id", "name", "qty_available"], "limit": 20}
    args = ["prod", 2, "secret", "product.product", "search_read", [domain], options]
    params = {"service": "object", "method": "execute_kw", "args": args}
    return {"jsonrpc": "2.0", "method": "call", "id": number, "params": params}


def post(user):
    global BEGAN
    if BEGAN is None:
        BEGAN = time.process_time()
    number = next(NUMBERS)
    with user.client.post("/jsonrpc", json=call(number), catch_response=True) as response:
        answer = response.json()
        if answer["id"] != number or len(answer["result"]) != 20:
            response.failure("another answer")


class Requests(HttpUser):
    wait_time = constant_throughput(RATE)

    @task
    def order(self):
        post(self)


class Fast(FastHttpUser):
    wait_time = constant_throughput(RATE)

    @task
    def order(self):
        post(self)


@events.test_stop.add_listener
def stopped(environment, **_):
    total = environment.stats.total
    result = {
        "requests": total.num_requests,
        "failures": total.num_failures,
        "cpu": time.process_time() - BEGAN,
    }
    with open(os.environ["RIG_RESULT"], "w", encoding="utf-8") as file:
        json.dump(result, file)
