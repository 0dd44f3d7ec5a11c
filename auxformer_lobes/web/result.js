// Keeps the player, the slider, the cursor and the numbers at one moment.
const part = (name) => element.querySelector(`[data-part="${name}"]`);
let data = null;

const clock = (time) => {
  const rest = String(Math.floor(time % 60)).padStart(2, "0");
  const tenth = Math.floor((time * 10) % 10);
  return `${Math.floor(time / 60)}:${rest}.${tenth}`;
};

const show = (time) => {
  const last = data.windows.length - 1;
  let index = 0;
  while (index < last && data.edges[index + 1] <= time) index += 1;
  const { text, outputs, modalities } = data.windows[index];
  const end = data.edges[last + 1];
  part("time").textContent = clock(time);
  part("cursor").style.left = `${(100 * Math.min(time, end)) / end}%`;
  part("slider").setAttribute("aria-valuetext", `${clock(time)}, ${text}`);
  part("reading").textContent = text;
  for (const bar of element.querySelectorAll("[data-output]")) {
    const output = outputs[bar.dataset.output];
    bar.style.width = `${output ? output.share : 0}%`;
  }
  for (const cell of element.querySelectorAll("[data-value]")) {
    cell.textContent = outputs[cell.dataset.value]?.text ?? "–";
  }
  for (const cell of element.querySelectorAll("[data-modality]")) {
    cell.textContent = modalities[cell.dataset.modality];
  }
};

const move = (time) => {
  part("slider").value = time;
  show(time);
};

const seek = (time) => {
  const player = part("player");
  if (player.readyState > 0) player.currentTime = time;
  move(time);
};

const follow = () => {
  const player = part("player");
  if (!player) return;
  move(player.currentTime);
  if (!player.paused) requestAnimationFrame(follow);
};

const open = () => {
  window.dispatchEvent(new Event("auxformer-done"));
  if (!part("data")) return; // an error
  data = JSON.parse(part("data").dataset.windows);
  part("unplayable").hidden = true;
  part("player").src = window.auxformerMedia;
  move(0);
};

element.addEventListener("input", (event) => {
  if (event.target === part("slider")) seek(Number(event.target.value));
});
element.addEventListener("click", (event) => {
  const plot = event.target.closest('[data-part="plot"], .strip');
  if (!plot) return;
  const { left, width } = plot.getBoundingClientRect();
  const share = (event.clientX - left) / width;
  seek(Math.max(0, Math.min(1, share)) * Number(part("slider").max));
});
// Events of players do not bubble, so they are caught on the way down.
element.addEventListener("play", follow, true);
element.addEventListener("seeked", follow, true);
element.addEventListener(
  "error",
  () => {
    part("unplayable").hidden = false;
  },
  true,
);
watch("value", open);
