// Takes a file or a recording, keeps it for the player, and uploads it under
// a name of its own, so that nobody deletes the same file of another visitor.
const part = (name) => element.querySelector(`[data-part="${name}"]`);
const { bytes, seconds, size } = part("limits").dataset;
let recorder = null;

const complain = (text) => {
  part("error").textContent = text;
  part("error").hidden = !text;
};

const setBusy = (isBusy) => {
  part("root").classList.toggle("busy", isBusy);
  for (const control of part("choose").querySelectorAll("input, button")) {
    control.disabled = isBusy;
  }
};

const take = async (file) => {
  complain("");
  if (file.size > Number(bytes)) {
    complain(`${file.name}: larger than ${size}: cut out a part of it`);
    return;
  }
  setBusy(true);
  const suffix = /\.\w{1,8}$/.exec(file.name)?.[0] ?? "";
  const name = crypto.randomUUID() + suffix;
  try {
    const { path } = await upload(new File([file], name, { type: file.type }));
    URL.revokeObjectURL(window.auxformerMedia);
    window.auxformerMedia = URL.createObjectURL(file);
    trigger("submit", { path, name: file.name });
  } catch (error) {
    setBusy(false);
    complain(`${file.name}: cannot be uploaded: is the server still there?`);
  }
};

const record = async (kind) => {
  complain("");
  setBusy(true); // a second click would open the devices twice
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: kind === "video",
      audio: true,
    });
  } catch (error) {
    complain(`The browser gives no access to the devices: ${error.message}`);
    return;
  } finally {
    setBusy(false);
  }
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => parts.push(event.data);
  const started = Date.now();
  const timer = setInterval(() => {
    const elapsed = Math.floor((Date.now() - started) / 1000);
    const rest = String(elapsed % 60).padStart(2, "0");
    part("elapsed").textContent = `${Math.floor(elapsed / 60)}:${rest}`;
    if (elapsed + 1 >= Number(seconds)) recorder.stop();
  }, 250);
  recorder.onstop = () => {
    clearInterval(timer);
    stream.getTracks().forEach((track) => track.stop());
    part("preview").srcObject = null;
    part("recording").hidden = true;
    part("choose").hidden = false;
    if (recorder.isCancelled) return;
    const type = parts[0]?.type ?? "";
    const suffix = type.includes("mp4") ? "mp4" : "webm";
    take(new File(parts, `recording.${suffix}`, { type }));
  };
  part("preview").hidden = kind === "audio";
  part("preview").srcObject = kind === "video" ? stream : null;
  part("elapsed").textContent = "0:00";
  part("choose").hidden = true;
  part("recording").hidden = false;
  recorder.start();
};

part("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = ""; // so that the same file can be chosen again
  if (file) take(file);
});
for (const button of element.querySelectorAll("[data-record]")) {
  button.addEventListener("click", () => record(button.dataset.record));
}
part("stop").addEventListener("click", () => recorder.stop());
part("cancel").addEventListener("click", () => {
  recorder.isCancelled = true;
  recorder.stop();
});
// A file that misses the frame must not replace the page.
for (const name of ["dragover", "drop"]) {
  window.addEventListener(name, (event) => event.preventDefault());
}
part("drop").addEventListener("dragover", () =>
  part("drop").classList.add("over"),
);
part("drop").addEventListener("dragleave", () =>
  part("drop").classList.remove("over"),
);
part("drop").addEventListener("drop", (event) => {
  part("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  const isFree = !part("root").classList.contains("busy");
  if (file && isFree && !part("choose").hidden) take(file);
});
window.addEventListener("auxformer-done", () => setBusy(false));
