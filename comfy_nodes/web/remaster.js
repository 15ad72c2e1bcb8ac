// The last picture that was shown while a film was made stays on the node: the page would take it for the film, and
// show a thumbnail, or an error in place of a player. It is taken away when the film is there.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const FILMS = ["RemasterVideo"];

/** The nodes on the way to one that was executed, outermost first: it may lie in subgraphs. */
function nodesOf(id) {
  let graph = app.rootGraph ?? app.graph;
  const nodes = [];
  for (const part of id.split(":")) {
    const node = graph?.getNodeById?.(Number(part));
    if (!node) return [];
    nodes.push(node);
    graph = node.subgraph;
  }
  return nodes;
}

/** Under which name the page keeps what a node shows. */
function locatorOf(node) {
  const graph = node.graph;
  const isRoot = !graph || graph === (app.rootGraph ?? app.graph);
  return isRoot ? String(node.id) : `${graph.id}:${node.id}`;
}

/** The previews that Nodes 2.0 shows; undefined on pages without them. */
function shownPreviews() {
  const pinia = document.querySelector("#vue-app")?.__vue_app__?.config?.globalProperties?.$pinia;
  return pinia?._s?.get("nodeOutput")?.nodePreviewImages;
}

function forgetPreview(node) {
  const locator = locatorOf(node);
  for (const previews of [shownPreviews(), app.nodePreviewImages]) {
    for (const url of previews?.[locator] ?? []) URL.revokeObjectURL(url);
    if (previews) delete previews[locator];
  }
  node.preview = undefined;
  node.imgs = undefined;
  const thumbnail = node.widgets?.find((widget) => widget.name === "$$canvas-image-preview"); // of the classic page
  if (thumbnail) node.removeWidget?.(thumbnail);
  node.setDirtyCanvas?.(true, true);
}

app.registerExtension({
  name: "vs-remaster.preview",
  setup() {
    api.addEventListener("executed", ({ detail }) => {
      const nodes = nodesOf(String(detail.display_node ?? detail.node));
      const film = nodes.at(-1);
      if (film && FILMS.includes(film.comfyClass ?? film.type) && detail.output?.images) nodes.forEach(forgetPreview);
    });
  },
});
