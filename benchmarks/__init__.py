"""Measures headrace and its peers side by side, each as a whole process, against one fast server in a process of its own.

python -m benchmarks list                 what can be measured
python -m benchmarks run in-flight-50     measure; JSON with every run and the conditions
python -m benchmarks compare A B          what changed between two results
python -m benchmarks report A             a table and plots
"""
