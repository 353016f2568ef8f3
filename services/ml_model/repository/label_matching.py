"""When a label and a prediction are the same, in SQL: one rule for every figure.

The fragments expect `p` (prediction_log), `l` (labels) and `names` (of `CLASS_NAMES`).
"""

# The log holds classes as Python writes them, hence True and not true.
CLASS_NAMES = """
    SELECT form.model_version_id, name.value AS class_name,
           CASE jsonb_typeof(class.value) WHEN 'boolean' THEN initcap(class.value #>> '{}')
                ELSE class.value #>> '{}' END AS predicted_class
    FROM serving_models AS form,
         jsonb_array_elements(form.classes) WITH ORDINALITY AS class(value, number)
         LEFT JOIN LATERAL jsonb_array_elements_text(form.class_names)
             WITH ORDINALITY AS name(value, number) USING (number)
"""
"""The name of each class of each version."""

# A caller may write the class 1 as 1, 1.0, "1" or by its name.
IS_RIGHT = r"""
    (l.label = p.predicted_class OR l.label = names.class_name
     OR CASE WHEN l.value IS NOT NULL AND p.predicted_class ~ '^-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?$'
             THEN l.value = p.predicted_class::float8 ELSE false END) IS TRUE
"""
"""Whether the predicted class is the true one."""
