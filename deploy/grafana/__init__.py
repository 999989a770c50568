"""The dashboard as code: queries make PromQL, panels say what is shown, dashboard writes it."""
