"""A graph in a web browser: what is drawn of its poses, and the page's plots and sliders. No ROS here.

`server` opens the page (viser) for this computer alone; `scene` draws what `pose` holds: the skinned body (`body`,
whose bones the browser moves), ghosts, forces, floor and the camera with its picture, all below the camera's frame,
which `world` stands upright. `panel` is the page's side bar: the state in words (`status`), curves over time (`plots`),
and one control for each live parameter (`controls`). `priority` lowers the process's priority, `pace` bounds its work.

May import the body's data and what stands below that; `nodes/viewer_node.py` alone uses it. Nothing here loads torch:
the viewer runs beside the pipeline and is to be small.
"""
