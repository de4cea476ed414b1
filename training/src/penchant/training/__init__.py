import os

# Read when OpenMP is loaded, which is when torch is. Its threads spin where they wait for each
# other: with 2 threads on a machine of 2 cores that something else is using, every small product
# waits for a thread that cannot run, and a step of 20 ms was seen to take 900. Threads that sleep
# while they wait cost nothing measurable on an idle machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
