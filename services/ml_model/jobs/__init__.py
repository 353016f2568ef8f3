"""The program that runs jobs, `python -m ml_model.jobs`, and the processes that work for it.

The program itself is small: it imports neither scikit-learn nor MLflow. A job is worked on by a
child process, which is kept for the next one and ended when none comes.
"""
