"""What launch files and the command line do before, while and after nodes run.

`checks` looks for what is missing before anything starts, `bring_up` configures and activates the lifecycle nodes,
`supervision` ends everything when one fails, `parameter_names` refuses unknown names in a parameter file.
"""
