"""Work in the background: jobs as rows of Postgres, a queue, a program that has them worked on.

Knows no kind of job. A service says which kinds are its own and where they queue
(`queue_identity`), and what is done about one (`program.child`, `program.running`); the layers are
those of a service. Used by `ml_model` and `tracking`.
"""
