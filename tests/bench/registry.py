"""What is measured, in its order: latencies first, while nothing else runs."""

from tests.bench import latency
from tests.bench.figures import Measurement

PARTS: dict[str, Measurement] = {
    "latency": latency.figures,
}
