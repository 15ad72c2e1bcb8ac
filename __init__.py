"""The ComfyUI pack: cloned into `custom_nodes/`, the checkout is a package, and this is what ComfyUI loads.

Everything else (tests, training, the wheel) uses the packages inside and never this file.
"""

if __package__:
    import logging

    from .comfy_nodes import WEB_DIRECTORY, comfy_entrypoint, unfit

    if _why := unfit():
        logging.getLogger(__name__).error("%s", _why)
        NODE_CLASS_MAPPINGS: dict[str, type] = {}  # what every version looks for first: no nodes, and no traceback

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
