FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY lua lua
COPY src src
RUN pip install --no-cache-dir '.[demo,prometheus]'
USER nobody
EXPOSE 8000
