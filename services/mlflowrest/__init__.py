"""MLflow over its REST API, for processes that must not pay for importing the library.

`mlflowrest.client.Mlflow` is the way in. Only what this suite uses is here: experiments, runs,
model versions, logged models and artifacts through the server's artifact proxy. Nothing is cached
and no state is kept, so one instance serves any number of threads.
"""
