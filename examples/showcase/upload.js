// The upload: the browser sends the file as it is, the server reads it piece by piece.
const form = panel.querySelector("#upload-form");
const progress = panel.querySelector("#upload-progress");
const result = panel.querySelector("#upload-result");
const button = form.querySelector("button");

function finish(text, isError) {
  result.textContent = text;
  result.classList.toggle("error", isError);
  button.disabled = false;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", (step) => {
    progress.value = step.lengthComputable ? (100 * step.loaded) / step.total : 0;
  });
  request.addEventListener("load", () => {
    if (request.status !== 200) return finish(`Refused: ${request.status}`, true);
    const answer = JSON.parse(request.responseText);
    progress.value = 100;
    finish(`${answer.name}: ${answer.size.toLocaleString("en")} bytes, SHA-256 ${answer.sha256}`,
      false);
  });
  request.addEventListener("error", () => finish("The connection was lost.", true));
  button.disabled = true;
  progress.value = 0;
  request.open("POST", "upload");
  request.send(new FormData(form));
});
