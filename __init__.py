"""The ComfyUI pack: cloned into `custom_nodes/`, the checkout is a package, and this is what ComfyUI loads.

Everything else (tests, training, the wheel) uses the packages inside and never this file.
"""

if __package__:
    from .comfy_nodes import WEB_DIRECTORY, comfy_entrypoint

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
